"""The floor's zygote, as few lines as it takes: forks workers that echo, and waits for those that are dead."""

import os
import socket
import sys

control = socket.socket(fileno=int(sys.argv[1]))
while True:
    asked, fds, _, _ = socket.recv_fds(control, 64, 1)
    if not asked:
        break
    if not fds:
        os.waitpid(int(asked), 0)
        control.send(asked)
        continue
    pid = os.fork()
    if pid == 0:
        control.close()
        commands = socket.socket(fileno=fds[0])
        commands.send(b"ready")
        while command := commands.recv(64):
            commands.send(command)
        os._exit(0)
    os.close(fds[0])
    control.send(str(pid).encode())
