"""Linear self-attention on in-context regression: prompts, modules and exact losses, for every task on them."""
