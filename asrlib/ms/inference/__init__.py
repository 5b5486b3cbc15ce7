"""Inference with trained networks: log-probabilities, hidden states, hypotheses, MindIR."""
