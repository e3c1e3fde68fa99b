/* What libdrystone_malloc exports. Written from its sources by `cargo xtask c-header --write`.
 *
 * Most of it is in <stdlib.h> and <malloc.h> too, with the same types: the compiler would say so if it were
 * not. A program needs this file for what its C library does not declare. */
#ifndef DRYSTONE_MALLOC_H
#define DRYSTONE_MALLOC_H

#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#ifdef __THROW
#define DRYSTONE_NOTHROW __THROW
#elif defined __cplusplus
#define DRYSTONE_NOTHROW noexcept
#else
#define DRYSTONE_NOTHROW
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A block of size bytes, aligned to 16. NULL and ENOMEM if there is no memory. */
void *malloc(size_t size) DRYSTONE_NOTHROW;

/* A block of count times size bytes, all zero. NULL and ENOMEM if there is no memory, or no block
 * of so many bytes. */
void *calloc(size_t count, size_t size) DRYSTONE_NOTHROW;

/* Takes back a block of any of these functions; NULL is none. errno stays as it is. */
void free(void *ptr) DRYSTONE_NOTHROW;

/* Makes a block have size bytes, here or elsewhere; its first bytes stay. A block of no bytes is
 * freed, with NULL as the answer; NULL as the block asks for a new one. NULL and ENOMEM if there is
 * no memory: the block is as it was then. */
void *realloc(void *ptr, size_t size) DRYSTONE_NOTHROW;

/* As realloc with count times size bytes. NULL and ENOMEM if no block has so many. */
void *reallocarray(void *ptr, size_t count, size_t size) DRYSTONE_NOTHROW;

/* Stores a block of size bytes, aligned to alignment, a power of two and a multiple of a
 * pointer's size. The answer is 0, EINVAL for another alignment, or ENOMEM; nothing is stored
 * then. errno stays as it is. */
int posix_memalign(void **place, size_t alignment, size_t size) DRYSTONE_NOTHROW;

/* A block of size bytes, aligned to alignment, a power of two: NULL and EINVAL for another one,
 * NULL and ENOMEM if there is no memory. The size need not be a multiple of the alignment. */
void *aligned_alloc(size_t alignment, size_t size) DRYSTONE_NOTHROW;

/* A block of size bytes, aligned to the next power of two from alignment on. */
void *memalign(size_t alignment, size_t size) DRYSTONE_NOTHROW;

/* A block of size bytes, aligned to a page. */
void *valloc(size_t size) DRYSTONE_NOTHROW;

/* A block of whole pages with at least size bytes, at least one page, aligned to a page. */
void *pvalloc(size_t size) DRYSTONE_NOTHROW;

/* The bytes of a live block, all of which the caller may use; 0 for NULL. */
size_t malloc_usable_size(void *ptr) DRYSTONE_NOTHROW;

/* As free, of a block for which size bytes were asked. */
void free_sized(void *ptr, size_t size) DRYSTONE_NOTHROW;

/* As free, of a block for which size bytes at alignment were asked. */
void free_aligned_sized(void *ptr, size_t alignment, size_t size) DRYSTONE_NOTHROW;

/* Gives back the memory that nothing uses and that no other thread keeps. 1 if memory was unmapped,
 * otherwise 0. How much to keep is not obeyed: the arena keeps nothing here. */
int malloc_trim(size_t pad) DRYSTONE_NOTHROW;

#ifdef __GLIBC__
/* The figures of the heap in the C library's form, in bytes: arena is what is resident at most,
 * uordblks what the program has, fordblks what waits to be used again, keepcost the part of that
 * which nothing keeps from being given back. The others are 0: mappings are not told apart. */
struct mallinfo2 mallinfo2(void) DRYSTONE_NOTHROW;
#endif

#ifdef __GLIBC__
/* As mallinfo2; a figure that the type cannot hold is the largest that it can. */
struct mallinfo mallinfo(void) DRYSTONE_NOTHROW;
#endif

/* Prints a table on standard error. */
void malloc_stats(void) DRYSTONE_NOTHROW;

/* Obeys no parameter of the C library's allocator, and says so: the answer is 0, its word for an error. */
int mallopt(int parameter, int value) DRYSTONE_NOTHROW;

#ifdef __cplusplus
}
#endif

#endif
