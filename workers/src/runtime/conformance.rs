//! What every runtime does, whatever it runs instances with.
