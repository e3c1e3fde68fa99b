/* Calls every function of the header as a C program does. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "drystone_malloc.h"

int main(void) {
    char *text = malloc(10);
    strcpy(text, "dry");
    text = realloc(text, 100000);
    assert(strcmp(text, "dry") == 0);
    text = reallocarray(text, 10, 20000);
    assert(strcmp(text, "dry") == 0);
    assert(malloc_usable_size(text) >= 200000);
    free_sized(text, 200000);

    int *numbers = calloc(100, sizeof *numbers);
    assert(numbers[0] == 0 && numbers[99] == 0);
    free(numbers);

    void *aligned = aligned_alloc(256, 512);
    assert((uintptr_t)aligned % 256 == 0);
    free_aligned_sized(aligned, 256, 512);
    assert(posix_memalign(&aligned, 4096, 1) == 0 && (uintptr_t)aligned % 4096 == 0);
    free(aligned);
    free(memalign(64, 10));
    free(valloc(10));
    free(pvalloc(10));

    errno = 0;
    volatile size_t too_many = PTRDIFF_MAX;
    assert(malloc(too_many) == NULL && errno == ENOMEM);
    assert(mallopt(M_MMAP_THRESHOLD, 1) == 0);
    malloc_trim(0);
#ifdef __GLIBC__
    void *kept = malloc(1000);
    assert(mallinfo2().arena > 0);
    assert(mallinfo().arena > 0);
    free(kept);
#endif
    malloc_stats();
    return 0;
}
