// What the operators of C++ do where there is no memory.
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <new>

static int calls;

static void handler() {
    if (++calls == 3) {
        std::set_new_handler(nullptr);
    }
}

static bool throws(std::size_t size) {
    try {
        ::operator delete(::operator new(size));
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static bool throws_array(std::size_t size) {
    try {
        ::operator delete[](::operator new[](size, std::align_val_t{64}), std::align_val_t{64});
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

int main() {
    volatile std::size_t too_many = PTRDIFF_MAX;
    assert(throws(too_many) && throws_array(too_many));
    assert(!throws(100) && !throws_array(100));
    assert(::operator new(too_many, std::nothrow) == nullptr);
    std::set_new_handler(handler);
    assert(throws(too_many) && calls == 3);
    ::operator delete(nullptr);
    ::operator delete[](nullptr, std::size_t{5});
    ::operator delete(::operator new(0));
    ::operator delete[](::operator new[](0));
    return 0;
}
