"""The maths of one image: gradient steps on it, and gradients of it."""
