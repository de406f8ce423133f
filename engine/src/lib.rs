//! Models: from a GGUF file and token ids to logits and text.
