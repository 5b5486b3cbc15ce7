"""Training data: data sets, batches, MindRecord shards, masks."""
