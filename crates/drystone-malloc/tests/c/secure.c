/* Says whether the process runs with rights that its user does not have. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

int main(void) {
    void *block = malloc(100);
    printf("secure: %lu\n", getauxval(AT_SECURE));
    free(block);
    return block == NULL;
}
