static inline __attribute__((always_inline)) int from_header(int a) { return a > 3 ? a + 1 : a; }
