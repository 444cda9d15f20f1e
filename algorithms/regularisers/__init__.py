"""Further terms of the loss, and controllers of their coefficients."""
