"""Networks: a picture goes in, coefficients of a face model come out; and the networks that judge the result."""
