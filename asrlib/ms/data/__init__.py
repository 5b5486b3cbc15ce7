"""What networks learn from: data sets, batches, MindRecord shards, masks."""
