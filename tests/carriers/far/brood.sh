# Two processes that stay: one that takes no hint, one that has left its group, its session and its parents. Their numbers, then the end.
(trap '' TERM HUP INT; exec >/dev/null 2>&1; while :; do sleep 60; done) &
echo $!
setsid sh -c 'echo $$; exec >/dev/null 2>&1; while :; do sleep 60; done' &
