// A pruned cell: edge x→y (x < y) is bit x + y(y−1)/2 of edges, the operation of
// inner vertex v the two bits from 2(v−1) on of ops.
typedef struct {
	unsigned vertices, edges, ops;
} nb1_cell;

// nb1_digests writes the hash of each of n cells of 2 to 7 vertices, which are
// computed with the widest vectors up to the given level: 0 for what the compiler
// takes for granted, 1 for AVX2, 2 for AVX-512.
void nb1_digests(const nb1_cell *cells, int n, unsigned char (*hashes)[16], int level);
