"""The heart: resolve, plan, steps, engine; and what an operator does with a deployment."""
