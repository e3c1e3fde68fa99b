// Blocks of operator new, of sizes that nothing else has.
#include <cstddef>
#include <new>

int main() {
    void *blocks[30];
    for (void *&block : blocks) {
        block = ::operator new(23456);
    }
    for (int i = 0; i < 20; i++) {
        ::operator delete(blocks[i], std::size_t{23456});
    }
    ::operator delete[](::operator new[](12321));
    ::operator delete(::operator new(15872, std::align_val_t{512}), std::align_val_t{512});
    return 0;
}
