"""What is kept from update to update: rows to train again, cases for prompts."""
