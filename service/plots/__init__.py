"""Still pictures of rows and fits. Arrays in, bytes of a picture out; knows nothing of HTTP."""
