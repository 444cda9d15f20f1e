"""What is not learned from: groups, rows and tokens that leave the mask."""
