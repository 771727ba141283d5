"""The task system: the actors that train a meter, one for each lane.

``python dramatiq_worker.py`` runs it with supervision. For experts, Dramatiq's own command line
(``dramatiq task_system``) runs it too, without restarts. Never imports TensorFlow: training
happens in trainer processes.
"""

from dramatiq_broker import broker
from energy_forecasting import bootstrap
from energy_forecasting.tasks.actor import declare_train_model
from energy_forecasting.tasks.lanes import Lane

__all__ = ["broker", "train_model", "train_model_of_batch", "training"]

training = bootstrap.training_middleware(bootstrap.settings(), broker)
train_model = declare_train_model(broker, training, Lane.SINGLE)
train_model_of_batch = declare_train_model(broker, training, Lane.BATCH)
