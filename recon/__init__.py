"""From picture to head and back: cameras, light, the differentiable renderer and what is built on them."""
