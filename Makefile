PYTHON ?= python3
BPY := .venv/bin/python
WORKER := .venv-worker/bin/python
EXTENSION_CLI = $(firstword $(wildcard .venv/lib/python*/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py))
# The suites compare pictures, not speed: one thread each keeps two cores free of contention.
export OMP_NUM_THREADS ?= 2

.PHONY: demo test test-all test-window bench bench-install lint zip index locks starter clean environments

demo: environments
	$(BPY) tools/demo.py

test: environments
	$(WORKER) -m pytest tests --ignore=tests/blender --ignore=tests/window
	$(BPY) -m pytest tests/blender

test-all: test
	$(PYTHON) tools/environments.py bpy42 bpy45 bpy52
	.venv-bpy42/bin/python -m pytest tests/blender
	.venv-bpy45/bin/python -m pytest tests/blender
	.venv-bpy52/bin/python -m pytest tests/blender
	$(MAKE) bench-install

# The real Blender in a window, by clicks and keys: BLENDER names it where it is not on the PATH. Pictures of every state
# of the panels are left in build/window.
test-window: environments
	$(WORKER) -m pytest -rs tests/window

bench: environments
	$(BPY) tools/demo.py --only-shots
	$(BPY) tools/bench_shots.py build/bench
	$(BPY) tools/bench_truth.py build/bench-truth size=256x144 frames=17 end=17 lag=8
	$(BPY) tools/bench_ticks.py demo/job build/bench-ticks.json
	$(WORKER) -m backend bench demo/job --shots build/bench --truth build/bench-truth --ticks build/bench-ticks.json \
		$(if $(wildcard build/window/ticks.json),--window build/window/ticks.json) \
		--write bench.json

# From the zip to the painted demo shot and back, in a fresh profile, with a package index of its own: prints how long a
# cold, a cached and an offline install take. BLENDER names a Blender that is not on the PATH; without any, the module is
# taken. 0.4 to 3 GB are fetched the first time.
bench-install: zip
	$(BPY) tools/bench_install.py "$$(ls -t build/tempera-*.zip | head -1)" build/wheelhouse

lint: environments
	.venv-worker/bin/ruff check .
	$(WORKER) tools/typecheck.py

zip: environments
	mkdir -p build
	$(BPY) $(EXTENSION_CLI) build --source-dir . --output-dir build
	$(BPY) $(EXTENSION_CLI) validate build/*.zip

# A repository to serve from any web server: its index.json is what Blender's preferences take as a remote repository.
index: zip
	mkdir -p build/index
	cp build/*.zip build/index/
	$(BPY) $(EXTENSION_CLI) server-generate --repo-dir build/index --html

# Locks what the backend is made of, in the versions of .venv-worker: the same from the same ones. Needs the network.
locks: environments
	$(WORKER) tools/lock.py

# Trains the small model that ships with Tempera, resumable at any step: an hour and a half of one undisturbed core. With
# FROM=FOLDER it goes on from a model that was exported before, such as backend/starter/model.
STARTER := build/starter
TRAIN := $(WORKER) -m backend.starter.train --data $(STARTER) --out $(STARTER)/out $(if $(FROM),--model $(FROM) --rate 6e-4)
starter: environments
	$(BPY) tools/starter_scenes.py $(STARTER) --scenes 66
	$(WORKER) -m backend.starter.dataset $(STARTER)
	$(if $(FROM),,$(TRAIN) --stage vae --minutes 10)
	$(TRAIN) --stage diffusion --minutes 75
	$(TRAIN) --stage export
	$(WORKER) -m backend.starter.samples --data $(STARTER) --model $(STARTER)/out/model

environments:
	@$(PYTHON) tools/environments.py blender worker

clean:
	rm -rf .venv .venv-* .check build demo bench.json .pytest_cache .ruff_cache .mypy_cache
