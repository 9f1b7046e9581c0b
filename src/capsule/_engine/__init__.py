"""The only room that knows wasmtime: it compiles guests, runs them as fibers on carriers, and ends them."""
