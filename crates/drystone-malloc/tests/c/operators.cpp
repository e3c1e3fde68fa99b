// The operators of C++, and what its library makes of them.
#include <cassert>
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "drystone_malloc.h"

struct alignas(512) Wide {
    char bytes[700];
};

struct Late {
    std::vector<std::string> words;
    Late() : words(1000, std::string(100, 'd')) {}
};

// Made before main, and gone after it.
static Late late;

static void work() {
    std::map<int, std::string> map;
    for (int i = 0; i < 2000; i++) {
        map[i * 7919 % 1009] += std::to_string(i);
    }
    assert(map.size() == 1009);
}

int main() {
    // Served by the library: the C library's allocator answers 1.
    assert(mallopt(M_MMAP_THRESHOLD, 1) == 0);

    delete new int(7);
    delete[] new int[1000];
    ::operator delete(::operator new(100), std::size_t{100});
    ::operator delete[](::operator new[](100), std::size_t{100});

    Wide *wide = new Wide;
    assert(reinterpret_cast<std::uintptr_t>(wide) % 512 == 0);
    delete wide;
    Wide *wides = new Wide[3];
    assert(reinterpret_cast<std::uintptr_t>(wides) % 512 == 0);
    delete[] wides;
    void *aligned = ::operator new(1000, std::align_val_t{4096});
    assert(reinterpret_cast<std::uintptr_t>(aligned) % 4096 == 0);
    ::operator delete(aligned, std::size_t{1000}, std::align_val_t{4096});

    volatile std::size_t too_many = PTRDIFF_MAX;
    assert(::operator new(too_many, std::nothrow) == nullptr);
    bool thrown = false;
    try {
        ::operator delete(::operator new(too_many));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    assert(thrown);

    auto shared = std::make_shared<std::string>(500, 's');
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++) {
        threads.emplace_back([shared] { work(); });
    }
    work();
    for (std::thread &thread : threads) {
        thread.join();
    }
    assert(late.words.size() == 1000);
    return 0;
}
