#ifndef NB1SHOT_LIBCUDA_H
#define NB1SHOT_LIBCUDA_H

// nb_cuda_load makes the calls go to the library; it returns NULL, or what is wrong.
const char *nb_cuda_load(const char *library);

#endif
