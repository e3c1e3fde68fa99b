// Blocks that go back by the wrong operator, one a run: `security CASE SIZE`, as security.c.
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <unistd.h>

struct Large {
    std::size_t numbers[9];
};

// What a compiler does not see through.
static void *volatile any;

static void say(const char *word) {
    if (write(STDOUT_FILENO, word, std::strlen(word)) < 0) {
        _exit(3);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    const std::string name = argv[1];
    say("START\n");
    if (name == "new_then_delete_array") {
        any = new char;
        delete[] static_cast<char *>(any);
    } else if (name == "new_array_then_delete") {
        any = new char[10];
        delete static_cast<char *>(any);
    } else if (name == "new_array_of_objects_then_delete") {
        any = new std::string[3];
        delete static_cast<std::string *>(any);
    } else if (name == "delete_of_another_type") {
        any = new char;
        delete static_cast<Large *>(any);
    } else if (name == "new_then_free") {
        any = new char[10];
        std::free(any);
    } else if (name == "malloc_then_delete") {
        any = std::malloc(10);
        delete static_cast<char *>(any);
    } else if (name == "delete_twice") {
        any = new int(7);
        delete static_cast<int *>(any);
        delete static_cast<int *>(any);
    } else {
        return 2;
    }
    say("PAST\nMISSED\n");
    return 0;
}
