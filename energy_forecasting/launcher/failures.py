"""Why the stack could not be started or kept up, in a sentence for the one at the terminal."""


class StartFailed(Exception):
    """Something needed is missing, taken, full or broken; the sentence says what to do.

    Args:
        sentence: what happened and what to do next.
        log_lines: the last words of the program that failed, oldest first.
    """

    def __init__(self, sentence: str, *, log_lines: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.log_lines = log_lines
