"""The life of a training task: its record in Redis, its queue, its pipeline and its trainers.

``task_store`` owns the record, ``queue`` carries task ids to workers, ``pipeline`` takes one task
through its stages, ``trainers`` supervises the processes that train, ``reconciler`` mends what a
dead process left behind.
"""
