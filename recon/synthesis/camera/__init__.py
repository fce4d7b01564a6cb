"""What a camera does to light: noise, code values, JPEG, framing."""
