// rounds does the given number of rounds of multiply-adds with the fastest instructions of
// this processor. Its result only keeps the compiler from leaving them out.
float nb1_fma_rounds(long rounds, float scale, float shift);

// flops is the number of operations in one of its rounds.
int nb1_fma_flops(void);

// isa names the instructions.
const char *nb1_fma_isa(void);
