"""The training loop: steps, optimizers, schedules, states, checkpoints."""
