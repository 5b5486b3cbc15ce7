"""Trained networks at work: log-probabilities, hidden states, hypotheses, MindIR."""
