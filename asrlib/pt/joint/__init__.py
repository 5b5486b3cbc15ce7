"""Joint CTC/attention beam search for batches of utterances."""
