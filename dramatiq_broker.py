"""The Dramatiq broker of this system: Redis at ``REDIS_URL``.

Imported by ``task_system``; it starts nothing and does not connect before it is used.
"""

import dramatiq

from energy_forecasting import bootstrap

broker = bootstrap.worker_broker(bootstrap.settings())
dramatiq.set_broker(broker)
