/* Faults of programs, one a run: `security CASE SIZE`.
 *
 * Says START when it begins, PAST behind the fault, MISSED when it was not found by the end. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MBYTE (1 << 20)

static size_t size;

/* What a compiler does not see through. */
static void *(*volatile allocate)(size_t) = malloc;
static void (*volatile release)(void *) = free;
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static void *(*volatile fill)(void *, int, size_t) = memset;

static void say(const char *word) {
    if (write(STDOUT_FILENO, word, strlen(word)) < 0) {
        _exit(3);
    }
}

static void past(void) { say("PAST\n"); }

static char *block(size_t bytes) {
    char *p = allocate(bytes);
    if (p == NULL) {
        _exit(3);
    }
    return p;
}

/* Changes a byte that is not the program's. */
static void spoil(volatile char *at) { *at ^= 'A'; }

static void write_at(char *p, long offset) {
    spoil(p + offset);
    past();
    release(p);
}

static void overflow_1(void) { write_at(block(size), (long)size); }
static void overflow_32(void) { write_at(block(size), (long)size + 31); }
static void overflow_1m(void) { write_at(block(size), (long)size + MBYTE - 1); }
static void underflow_1(void) { write_at(block(size), -1); }
static void underflow_32(void) { write_at(block(size), -32); }
static void underflow_1m(void) { write_at(block(size), -MBYTE); }

static char *other(size_t bytes) {
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        _exit(3);
    }
    return memset(p, 'A', bytes);
}

static void copy_over(size_t beyond) {
    char *from = other(size + beyond);
    char *p = block(size);
    copy(p, from, size + beyond);
    past();
    release(p);
}

static void copy_under(size_t before) {
    char *from = other(size + before);
    char *p = block(size);
    copy(p - before, from, size + before);
    past();
    release(p);
}

static void copy_overflow_1(void) { copy_over(1); }
static void copy_overflow_32(void) { copy_over(32); }
static void copy_overflow_1m(void) { copy_over(MBYTE); }
static void copy_underflow_1(void) { copy_under(1); }
static void copy_underflow_32(void) { copy_under(32); }
static void copy_underflow_1m(void) { copy_under(MBYTE); }

static void copy_from_past_the_end(void) {
    char *to = other(size + 1);
    char *p = block(size);
    copy(to, p, size + 1);
    past();
    release(p);
}

static void double_free(void) {
    char *p = block(size);
    release(p);
    release(p);
    past();
}

static void double_free_delayed(void) {
    char *p = block(size);
    char *q = block(size);
    release(p);
    release(q);
    for (int i = 0; i < 300; i++) {
        release(block(2 * size));
    }
    release(p);
    past();
}

static void double_free_interleaved(void) {
    char *p = block(size);
    char *q = block(size);
    release(p);
    release(q);
    release(p);
    past();
}

static void double_free_reuse(void) {
    char *p = block(size);
    release(p);
    release(p);
    past();
    for (int i = 0; i < 2000; i++) {
        release(block(size));
    }
}

static void double_free_single_reuse(void) {
    char *p = block(size);
    release(p);
    char *q = block(size);
    release(p);
    past();
    release(q);
}

static void free_inside(void) {
    release(block(size + 64) + 16);
    past();
}

static void free_close(void) {
    release(block(size) + 4096);
    past();
}

static void free_far(void) {
    release(block(size) + 16 * MBYTE);
    past();
}

static void free_stack(void) {
    char local[64];
    release(local + 16 - (uintptr_t)local % 16);
    past();
}

static void free_static(void) {
    static char bytes[256];
    release(bytes + 16);
    past();
}

static void free_unaligned(void) {
    release(block(size) + 1);
    past();
}

static void free_unaligned_multiple(void) {
    for (int i = 1; i < 8; i++) {
        release(block(size) + i);
    }
    past();
}

static void reuse(void) {
    char *p = block(size);
    uintptr_t was = (uintptr_t)p;
    release(p);
    if ((uintptr_t)block(size) == was) {
        say("MISSED\n");
    }
    _exit(0);
}

static void reuse_downsize(void) {
    char *p = block(size);
    uintptr_t was = (uintptr_t)p;
    release(p);
    if ((uintptr_t)block(size / 2) == was) {
        say("MISSED\n");
    }
    _exit(0);
}

static void write_after_free(void) {
    char *p = block(size);
    release(p);
    fill(p, 'A', size);
    past();
}

static void write_after_free_by_hand(void) {
    char *p = block(size);
    release(p);
    spoil(p + size - 1);
    past();
}

static void write_after_free_reuse(void) {
    char *p = block(size);
    release(p);
    spoil(p);
    past();
    for (int i = 0; i < 20000; i++) {
        release(block(size));
    }
}

static void read_after_free(void) {
    char *p = block(size);
    fill(p, 'A', size);
    release(p);
    for (size_t i = 0; i < size; i++) {
        if (((volatile char *)p)[i] == 'A') {
            say("MISSED\n");
            break;
        }
    }
    _exit(0);
}

static void zero_on_allocation(void) {
    char *all[64];
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 64; i++) {
            all[i] = block(size);
            for (size_t at = 0; at < size; at++) {
                if (((volatile char *)all[i])[at] != 0) {
                    say("MISSED\n");
                    _exit(0);
                }
            }
            fill(all[i], 'A', size);
        }
        for (int i = 0; i < 64; i++) {
            release(all[i]);
        }
    }
    _exit(0);
}

/* Of these the size says how many other blocks there are. */
static char *empty(void) {
    for (size_t i = 0; i < size && i < 4096; i++) {
        block(0);
    }
    return block(0);
}

static void read_empty(void) {
    volatile char *p = empty();
    char byte = *p;
    (void)byte;
    past();
}

static void read_empty_and_free(void) {
    char *p = empty();
    char byte = *(volatile char *)p;
    (void)byte;
    release(p);
    past();
}

static void write_empty(void) {
    spoil(empty());
    past();
}

static void write_empty_and_free(void) {
    char *p = empty();
    spoil(p);
    release(p);
    past();
}

static void executable(void) {
    char *p = block(size);
    *p = (char)0xc3;
    ((void (*)(void))(uintptr_t)p)();
    past();
}

static void impossibly_large(void) {
    if (allocate(PTRDIFF_MAX - 8) != NULL) {
        past();
        return;
    }
    _exit(0);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
#define CASE(name) {#name, name}
    CASE(overflow_1), CASE(overflow_32), CASE(overflow_1m),
    CASE(underflow_1), CASE(underflow_32), CASE(underflow_1m),
    CASE(copy_overflow_1), CASE(copy_overflow_32), CASE(copy_overflow_1m),
    CASE(copy_underflow_1), CASE(copy_underflow_32), CASE(copy_underflow_1m),
    CASE(copy_from_past_the_end),
    CASE(double_free), CASE(double_free_delayed), CASE(double_free_interleaved),
    CASE(double_free_reuse), CASE(double_free_single_reuse),
    CASE(free_inside), CASE(free_close), CASE(free_far), CASE(free_stack), CASE(free_static),
    CASE(free_unaligned), CASE(free_unaligned_multiple),
    CASE(reuse), CASE(reuse_downsize),
    CASE(write_after_free), CASE(write_after_free_by_hand), CASE(write_after_free_reuse),
    CASE(read_after_free), CASE(zero_on_allocation),
    CASE(read_empty), CASE(read_empty_and_free), CASE(write_empty), CASE(write_empty_and_free),
    CASE(executable), CASE(impossibly_large),
};

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    size = strtoul(argv[2], NULL, 10);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            say("START\n");
            cases[i].run();
            say("MISSED\n");
            return 0;
        }
    }
    return 2;
}
