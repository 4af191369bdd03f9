# make build | demo | test | bench | install. Each target first installs what it lacks (apt, through sudo when not root).
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
JOBS ?= $(shell nproc)
# Debian's Python, whose headers apt can install; another one may be named.
PYTHON ?= /usr/bin/python3
CMAKE_FLAGS ?=

.PHONY: build demo test bench install clean format deps-build deps-test

build: deps-build
	@cmake -S . -B $(BUILD) -DCMAKE_INSTALL_PREFIX=$(PREFIX) -DPython3_EXECUTABLE=$(PYTHON) $(CMAKE_FLAGS) >$(BUILD).log 2>&1 || { cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@sed -n 's/^-- Left out/left out/p' $(BUILD).log; rm -f $(BUILD).log
	@cmake --build $(BUILD) -j $(JOBS) -- --no-print-directory -s
	@echo "built: . $(BUILD)/env.sh makes it usable as if installed"

demo: build
	@. $(BUILD)/env.sh && $(PYTHON) examples/demo/demo.py && $(PYTHON) tests/matrix/matrix.py

test: deps-test build
	@BUILD=$(BUILD) PYTHON=$(PYTHON) JOBS=$(JOBS) tests/run.sh

bench: build
	@bench/setup.sh && $(PYTHON) bench/run.py $(BENCH_FLAGS)

install: build
	@DESTDIR=$(DESTDIR) cmake --install $(BUILD) >/dev/null
	@echo "installed below $(DESTDIR)$(PREFIX)"

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(BUILD) $(BUILD)-*

deps-build deps-test: deps-%:
	@sh .ci/deps $*
