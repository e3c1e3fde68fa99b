// A program that has two of the operators of its own: the library's others go through them.
#include <cassert>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

static long made, gone;

void *operator new(std::size_t size) {
    made++;
    if (void *p = std::malloc(size)) {
        return p;
    }
    throw std::bad_alloc();
}

void operator delete(void *p) noexcept {
    gone++;
    std::free(p);
}

int main() {
    // Made by the program's own, and gone by a form that it does not have.
    ::operator delete(::operator new(100), std::size_t{100});
    delete[] new int[1000];
    ::operator delete(::operator new(10, std::nothrow), std::nothrow);
    assert(made == 3 && gone == 3);
    std::vector<std::string> words(100, std::string(100, 'w'));
    words.clear();
    words.shrink_to_fit();
    assert(made == gone && made > 100);
    return 0;
}
