//! Reading and writing GGUF files, the container of quantized models.
