"""HTTP over the other rooms: routes translate, services decide. Never imports TensorFlow."""
