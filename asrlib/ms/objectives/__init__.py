"""What networks are trained for: losses, validation, metrics."""
