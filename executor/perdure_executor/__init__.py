"""The work: leases whole runs, walks them, and streams back what happened. It keeps nothing.

`worker` reads top-down: connect, take runs, walk, say what happened · `walker` one run · `event_stream` its events until
they are acknowledged · `lease_keeper` how long anything may go on · `nodes` one file per kind · `supervisor` the process
that commands run under · `watchdog` what to do when the event loop stands still.
"""
