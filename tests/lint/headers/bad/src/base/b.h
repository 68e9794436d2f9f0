int b_length(size_t n);
