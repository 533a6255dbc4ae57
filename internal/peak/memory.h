// block allocates so many bytes, in huge pages where the system has them; NULL if it
// cannot.
float *nb1_memory_block(long bytes);

// read reads so many floats, of which there are a multiple of 64, and returns something
// that depends on them all.
float nb1_memory_read(const float *from, long floats);

// write writes them, past the caches where the processor can.
void nb1_memory_write(float *to, long floats, float value);
