import socket

from energy_forecasting.launcher.ports import LOOPBACK, any_free_port, free_port_from, is_free


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()

        assert not is_free(listener.getsockname()[1])


def test_a_port_listened_on_at_every_address_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()

        assert not is_free(listener.getsockname()[1])


def test_a_port_is_free_again_right_after_its_server_has_ended() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        listener.bind((LOOPBACK, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection((LOOPBACK, port)):
            connection, _ = listener.accept()
            connection.close()  # the server closes first, so its side lingers

    assert is_free(port)


def test_the_preferred_port_is_taken_when_it_is_free() -> None:
    port = any_free_port()

    assert free_port_from(port) == port


def test_the_next_free_port_follows_a_preferred_one_that_is_in_use() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        preferred = listener.getsockname()[1]

        found = free_port_from(preferred)

        assert found != preferred
        assert is_free(found)


def test_a_preference_at_the_end_of_the_range_still_finds_a_port() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 65535))
        listener.listen()

        assert is_free(free_port_from(65535))
