# Sluice's build. `make help` lists the targets; docs/build.md explains what is behind them.
#
# One file for everything. Sources are found by listing src/, so a new .c file needs no change
# here: foo.c is part of the program, foo_test.c a test program, foo_fuzz.c a fuzz target. Each
# folder of src/ becomes one archive, and a unit test links with the archives that its folder may
# use according to LAYERS.
#
#   VARIANT=release|debug|asan|tsan   how to compile        (SAN=asan and SAN=tsan mean the same)
#   CC=gcc|clang                      the compiler          (clang builds into build/VARIANT-clang)
#   T=rt or T=rt/chan or T=lease      only these tests      BUILD=dir   build somewhere else
#   V=1                               show the commands

SHELL := /bin/bash
.DEFAULT_GOAL := build
.SUFFIXES:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

ifeq ($(origin CC),default)
CC := gcc
endif
COMPILER := $(if $(findstring clang,$(CC)),clang,gcc)
BUILD ?= build
GEN := $(BUILD)/gen
Q := $(if $(V),,@)

# ---- the variant -----------------------------------------------------------------------------

# The targets that run tests are for debug builds unless they say otherwise, the rest for release.
DEBUG_GOALS := check check-programs check-build examples sim sim-day images image-corners golden tests-programs
ifneq ($(SAN),)
VARIANT := $(SAN)
endif
VARIANT ?= $(if $(filter $(DEBUG_GOALS),$(MAKECMDGOALS)),debug,release)
ifeq ($(filter $(VARIANT),release debug asan tsan fuzz),)
$(error VARIANT must be release, debug, asan, tsan or fuzz, got "$(VARIANT)")
endif
OUT := $(BUILD)/$(VARIANT)$(if $(filter clang,$(COMPILER)),-clang)

# ---- what this machine has -------------------------------------------------------------------

# tools/setup unpacks newer libraries here where the system's pkg-config has none.
DEPS_PKGCONFIG := $(wildcard $(CURDIR)/build/deps/lib/pkgconfig $(CURDIR)/build/deps/usr/lib/pkgconfig \
    $(CURDIR)/build/deps/usr/lib/*/pkgconfig $(CURDIR)/build/deps/usr/share/pkgconfig)
empty :=
space := $(empty) $(empty)
ifneq ($(DEPS_PKGCONFIG),)
export PKG_CONFIG_PATH := $(subst $(space),:,$(strip $(DEPS_PKGCONFIG) \
    $(filter-out $(DEPS_PKGCONFIG),$(subst :, ,$(PKG_CONFIG_PATH)))))
endif

# Both write only what has changed, so that asking at every start costs a few milliseconds.
ifeq ($(filter clean help,$(MAKECMDGOALS)),)
_ := $(shell PKG_CONFIG_PATH='$(PKG_CONFIG_PATH)' tools/gen-features $(GEN))
include $(GEN)/features.mk
_ := $(shell LC_ALL=C tools/gen-tables $(GEN) $(FEATURES))
_ := $(shell LC_ALL=C tools/gen-lua $(GEN))
endif

# What the engine cannot do without. The targets that install first (run, test, bench) may go on.
REQUIRED := CURL OPENSSL FYAML LLHTTP YYJSON
ifneq ($(filter-out clean help info test run bench lint fmt docs dist hooks new-handler,$(or $(MAKECMDGOALS),build)),)
ifneq ($(filter-out $(FEATURES),$(REQUIRED)),)
$(error missing: $(filter-out $(FEATURES),$(REQUIRED)) (see `make info`). `tools/setup build` installs it)
endif
endif

# ---- sources ---------------------------------------------------------------------------------

# Sources whose optional library is absent are left out: folder/needs and foo.needs name it.
NEEDS := $(shell find src -name needs -o -name '*.needs' 2>/dev/null)
LACKING := $(foreach f,$(NEEDS),$(if $(filter-out $(FEATURES),$(file <$(f))),$(f)))
LEFT_OUT := $(patsubst %/needs,%/%.c,$(filter %/needs,$(LACKING))) \
            $(patsubst %.needs,%.c,$(filter %.needs,$(LACKING))) \
            $(patsubst %.needs,%_test.c,$(filter %.needs,$(LACKING))) \
            $(patsubst %.needs,%_fuzz.c,$(filter %.needs,$(LACKING)))
LEFT_OUT_DIRS := $(patsubst %/needs,%/,$(filter %/needs,$(LACKING)))

ALL_C := $(shell find src -name '*.c' 2>/dev/null | LC_ALL=C sort)
ALL_C := $(filter-out $(addsuffix %,$(LEFT_OUT_DIRS)) $(LEFT_OUT),$(ALL_C))
ALL_S := $(shell find src -name '*.S' 2>/dev/null | LC_ALL=C sort)
TEST_C := $(filter %_test.c,$(ALL_C)) $(shell find tests -name '*_test.c' -not -path 'tests/install/*' \
    -not -path 'tests/lint/*' 2>/dev/null | LC_ALL=C sort)
FUZZ_C := $(filter %_fuzz.c,$(ALL_C))
LIB_C := $(filter-out %_test.c %_fuzz.c src/main.c,$(ALL_C))

# Each folder of src/ is one archive; the generated tables belong to the folder that reads them.
FOLDERS := $(sort $(foreach f,$(LIB_C) $(ALL_S),$(word 2,$(subst /, ,$(f)))))
obj = $(patsubst %,$(OUT)/obj/%.o,$(basename $(1)))
folder_objs = $(call obj,$(filter src/$(1)/%,$(LIB_C) $(ALL_S)))
table_objs = $(if $(filter $(1),$(FOLDERS)),$(patsubst %,$(OUT)/obj/gen/%_table.o,$(2)))
LIB_OBJS := $(foreach f,$(FOLDERS),$(call folder_objs,$(f)))
TABLE_OBJS := $(call table_objs,app,handlers) $(call table_objs,store,stores redis_scripts) \
              $(call table_objs,cli,commands) $(call table_objs,serve,routes) \
              $(call table_objs,rows,sinks sources steps)
extra_app := handlers
extra_store := stores redis_scripts
extra_cli := commands
extra_serve := routes
extra_rows := sinks sources steps
archive = $(OUT)/lib/$(1).a

# ---- flags -----------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Werror -Wvla -Walloca -Wswitch-enum -Wshadow -Wstrict-prototypes \
    -Wmissing-prototypes -Wundef -Wformat=2 -Wimplicit-fallthrough -Wpointer-arith -Wwrite-strings \
    -Wold-style-definition -Wno-missing-field-initializers
# gcc warns of an unused result even behind (void); clang does not, and `make lint` asks it (tools/lint/banned).
WARNINGS_gcc := -Wlogical-op -Wduplicated-cond -Wno-unused-result
WARNINGS_clang := -Wno-gnu -Wno-initializer-overrides
CPPFLAGS_OURS := -D_GNU_SOURCE -Isrc -Iinclude -I$(BUILD) -include $(GEN)/features.h
CFLAGS_OURS := -std=gnu17 $(WARNINGS) $(WARNINGS_$(COMPILER)) -fvisibility=hidden \
    -fno-omit-frame-pointer -fno-strict-aliasing -pthread -g
LDFLAGS_OURS := -pthread -Wl,-z,now -Wl,-z,relro

# Link-time optimisation: gcc always has it, clang needs lld or the gold plug-in. gcc may not draw
# conclusions about which file-local variables a call leaves alone: a call that switches fibers runs
# code of which the assembly of the switch shows nothing (rt/fiber_test fails with gcc 14 otherwise).
# The objects carry machine code as well, with which the unit tests link.
ifeq ($(COMPILER),gcc)
LTO := -flto=auto -fno-ipa-reference -ffat-lto-objects
else
LTO_LINKER := $(if $(shell command -v ld.lld),-fuse-ld=lld,$(if $(shell command -v ld.gold),$(if \
    $(wildcard $(shell $(CC) --print-file-name=LLVMgold.so)),-fuse-ld=gold)))
LTO := $(if $(LTO_LINKER),-flto=thin)
endif
LTO_NOTE := $(if $(LTO),$(LTO),none: clang has neither lld nor the gold plug-in here)

# Relative relocations as a bit map, where the C library can read it: a third of a megabyte less in each process.
RELR := $(if $(filter gcc,$(COMPILER)),$(shell grep -qs GLIBC_ABI_DT_RELR "$$($(CC) -print-file-name=libc.so.6 2>/dev/null)" && \
    ld --help 2>/dev/null | grep -q pack-relative-relocs && echo -Wl,-z,pack-relative-relocs))

# A warning ends the builds of those who work on this, not that of somebody whose compiler sees what ours do not.
FLAGS_release := -O2 -Wno-error -Wno-maybe-uninitialized -Wframe-larger-than=2048 $(LTO)
FLAGS_debug := -O1 -DSL_DEBUG=1 -Wframe-larger-than=2048
FLAGS_asan := -O1 -DSL_DEBUG=1 -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_fuzz := -O1 -DSL_DEBUG=1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FLAGS_tsan := -O1 -DSL_DEBUG=1 -fsanitize=thread $(if $(filter gcc,$(COMPILER)),-Wno-tsan)
LINK_release := -O2 -g $(LTO) $(LTO_LINKER) $(RELR)
LINK_asan := -fsanitize=address,undefined
LINK_fuzz := -fsanitize=address,undefined
LINK_tsan := -fsanitize=thread

# Byte arithmetic is the business of these two; a silent narrowing there is a bug on disk.
conversion = $(if $(filter src/codec/% src/store/%,$(1)),$(if $(filter %_test.c %_fuzz.c %.S,$(1)),,-Wconversion -Wno-sign-conversion))

# What blocks the thread is poisoned above the runtime; the store has a thread of its own.
POISONED := src/codec/% src/net/% src/queue/% src/rows/% src/pipeline/% src/handlers/% src/worker/% src/serve/% src/demo/% \
    src/client/% src/cli/% src/app/% src/main.c src/store/memory/%
# A test is one long function full of values to compare, and chooses its own stack.
frames = $(if $(filter release debug,$(VARIANT)),$(if $(filter %_test.c tests/% bench/%,$(1)),-Wframe-larger-than=8192))
# These hand what blocks to the pool, or are processes of their own without fibers.
MAY_BLOCK := src/net/dial.c src/worker/box_spawner.c src/worker/box_inside.c
banned = $(if $(filter $(POISONED),$(1)),$(if $(filter %_test.c %_fuzz.c %.S,$(1)),,$(if \
    $(filter $(MAY_BLOCK),$(1)),-DSL_MAY_BLOCK) -include base/banned.h))

COMPILE = $(CC) $(CPPFLAGS_OURS) $(FEATURE_CFLAGS) $(CFLAGS_OURS) $(FLAGS_$(VARIANT)) $(CPPFLAGS) $(CFLAGS)
LINK = $(CC) $(LDFLAGS_OURS) $(LINK_$(VARIANT)) $(LDFLAGS)
LIBS := $(FEATURE_LIBS) -ldl -lm
$(OUT)/tests/% $(OUT)/test/tests/%: LIBS += $(TEST_LIBS)
ifeq ($(COMPILER),gcc)
AR := $(or $(shell command -v gcc-ar),ar)
else
AR := $(or $(shell command -v llvm-ar llvm-ar-14 | head -1),ar)
endif

# ---- rules -----------------------------------------------------------------------------------

# Outputs are written beside their place and moved there, so that two makes at once do no harm.
define compile
	@mkdir -p $(@D)
	@$(if $(Q),echo "  CC   $(patsubst $(BUILD)/%,%,$@)")
	$(Q)t=$@.$$$$; if $(COMPILE) $(call conversion,$<) $(call banned,$<) $(call frames,$<) $(if $(filter tests/%,$<),$(TEST_CFLAGS)) -MMD -MP -MF $$t.d -MT $@ -c $< -o $$t; \
	    then mv -f $$t.d $(@:.o=.d) && mv -f $$t $@; else rm -f $$t $$t.d; exit 1; fi
endef
define link
	@mkdir -p $(@D)
	@$(if $(Q),echo "  LINK $(patsubst $(BUILD)/%,%,$@)")
	$(Q)t=$@.$$$$; if $(LINK) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	    $(LIBS) -o $$t; then mv -f $$t $@; else rm -f $$t; exit 1; fi
endef

$(OUT)/obj/%.o: %.c $(OUT)/flags
	$(compile)

$(OUT)/obj/%.o: %.S $(OUT)/flags
	$(compile)

$(OUT)/obj/gen/%.o: $(GEN)/%.c $(OUT)/flags
	$(compile)

# Everything is compiled again when the flags change.
$(OUT)/flags: FORCE
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = '$(COMPILE)' ] || echo '$(COMPILE)' >$@
FORCE:

define archive_rule
$(call archive,$(1)): $(call folder_objs,$(1)) $(patsubst %,$(OUT)/obj/gen/%_table.o,$(extra_$(1))) $(OUT)/lib/$(1).list
	@mkdir -p $$(@D)
	$$(Q)t=$$@.$$$$$$$$; rm -f $$$$t; $(AR) rcsT $$$$t $$(filter %.o,$$^) && mv -f $$$$t $$@
$(OUT)/lib/$(1).list: FORCE
	@mkdir -p $$(@D)
	@[ "$$$$(cat $$@ 2>/dev/null)" = '$(call folder_objs,$(1))' ] || echo '$(call folder_objs,$(1))' >$$@
endef
$(foreach f,$(FOLDERS),$(eval $(call archive_rule,$(f))))
ARCHIVES := $(foreach f,$(FOLDERS),$(call archive,$(f)))

# The folders that a unit test of folder $(1) links with: what LAYERS lets it use, and what that uses.
LAYER_LINES := $(shell sed -e 's/\#.*//' -e '/^ *$$/d' -e 's/ *: */:/' -e 's/ /,/g' -e 's/^tests,/tests-/' LAYERS)
layer_words = $(subst $(comma), ,$(patsubst $(1):%,%,$(filter $(1):%,$(LAYER_LINES))))
comma := ,
direct = $(filter $(FOLDERS),$(call layer_words,$(1)) $(call layer_words,$(1)/*))
closure = $(if $(filter-out $(1),$(2)),$(call closure,$(sort $(1) $(2)),$(sort $(foreach f,$(filter-out $(1),$(2)),$(call direct,$(f))))),$(1))
test_folders = $(filter $(FOLDERS),$(call closure,,$(1) $(filter $(FOLDERS),$(call layer_words,tests-$(1)))))

# src/rt/chan_test.c is build/debug/test/rt/chan_test; tests/a/b_test.c is build/debug/test/tests/a/b_test.
test_program = $(OUT)/test/$(patsubst src/%,%,$(basename $(1)))
# A test of tests/a links with everything of that folder that is neither a test nor a main program.
beside = $(call obj,$(filter-out %_test.c %_main.c,$(wildcard $(dir $(1))*.c)))
define test_rule
$(call test_program,$(1)): $(call obj,$(1)) $(if $(filter src/%,$(1)),$(foreach f,$(call test_folders,$(word 2,$(subst /, ,$(1)))),$(call archive,$(f))),$(call beside,$(1)) $(ARCHIVES))
	$$(link)
endef
$(foreach t,$(TEST_C),$(eval $(call test_rule,$(t))))
# Optimising the whole of each of 240 small programs takes longer than all their tests. The runtime's do it, because
# what goes wrong between fibers goes wrong there; the rest has the program's end-to-end tests.
ifeq ($(COMPILER),gcc)
$(filter-out $(OUT)/test/rt/%,$(foreach t,$(TEST_C),$(call test_program,$(t)))): LINK_release := -O2 -g -fno-lto $(RELR)
endif

# T=rt and T=rt/ch take a folder or the beginning of a path, T=lease any name with that in it.
NAMES := $(patsubst $(OUT)/test/%,%,$(foreach t,$(TEST_C),$(call test_program,$(t))))
CHOSEN := $(if $(T),$(or $(filter $(T:/=)/% $(T) $(T)_test,$(NAMES)),$(if $(findstring /,$(T)),$(filter $(T)%,$(NAMES)),$(foreach n,$(NAMES),$(if $(findstring $(T),$(n)),$(n))))),$(NAMES))
CHOSEN_PROGRAMS := $(addprefix $(OUT)/test/,$(CHOSEN))

# src/codec/json_fuzz.c is build/fuzz-clang/fuzz/codec/json with libFuzzer; in the other variants the driver of
# tests/fuzz feeds it the files that it is given. FUZZ_LINK is what tools/fuzz knows about this clang.
fuzz_program = $(OUT)/fuzz/$(patsubst src/%_fuzz.c,%,$(1))
FUZZ_DRIVER := $(if $(filter fuzz,$(VARIANT)),,$(OUT)/obj/tests/fuzz/driver.o)
define fuzz_rule
$(call fuzz_program,$(1)): LINK_fuzz += -fsanitize=fuzzer
$(call fuzz_program,$(1)): $(call obj,$(1)) $(FUZZ_DRIVER) $(foreach f,$(call test_folders,$(word 2,$(subst /, ,$(1)))),$(call archive,$(f)))
	$$(link)
endef
$(foreach t,$(FUZZ_C),$(eval $(call fuzz_rule,$(t))))
FUZZ_NAMES := $(patsubst $(OUT)/fuzz/%,%,$(foreach t,$(FUZZ_C),$(call fuzz_program,$(t))))
FUZZ_CHOSEN := $(if $(T),$(or $(foreach n,$(FUZZ_NAMES),$(if $(filter $(T),$(notdir $(n)) $(n)),$(n))),\
    $(foreach n,$(FUZZ_NAMES),$(if $(findstring $(T),$(n)),$(n)))),$(FUZZ_NAMES))

# tests/sim/*.c together are the program build/debug/tests/sim; the same for every such folder.
SYSTEM_DIRS := $(filter-out tests/install tests/lint tests/corpus tests/fuzz $(if $(filter src/handlers/image/image.c,$(LIB_C)),,tests/images),$(patsubst %/,%,$(sort $(dir \
    $(filter-out %_test.c,$(wildcard tests/*/*.c))))))
define system_rule
$(OUT)/$(1): $(call obj,$(filter-out %_test.c,$(wildcard $(1)/*.c))) $(ARCHIVES)
	$$(link)
endef
$(foreach d,$(SYSTEM_DIRS),$(eval $(call system_rule,$(d))))

# bench/foo.c and bench/rt/foo.c are programs in build/release/bench; bench/lib/*.c is part of all of them. A
# rival*.c needs libraries of its own and is built by bench/run.
BENCH_C := $(shell find bench -name '*.c' -not -path 'bench/lib/*' -not -path '*/rivals/*' -not -name 'rival*' 2>/dev/null | LC_ALL=C sort)
BENCH_PROGRAMS := $(patsubst %.c,$(OUT)/%,$(BENCH_C))
$(BENCH_PROGRAMS): $(OUT)/bench/%: $(OUT)/obj/bench/%.o $(call obj,$(wildcard bench/lib/*.c)) $(ARCHIVES)
	$(link)

# examples/rt/foo.c is build/debug/examples/rt/foo.
EXAMPLE_C := $(shell find examples -name '*.c' 2>/dev/null | LC_ALL=C sort)
EXAMPLES := $(patsubst %.c,$(OUT)/%,$(EXAMPLE_C))
$(EXAMPLES): $(OUT)/examples/%: $(OUT)/obj/examples/%.o $(ARCHIVES)
	$(link)

# Libraries that tools/setup unpacked are looked for beside the program, in the tree and where `make install`
# puts them; the tests look in the tree by its full path.
ORIGIN_RPATH := -Wl,-rpath,'$$ORIGIN/deps/lib:$$ORIGIN/../deps/lib:$$ORIGIN/../lib/sluice'
$(OUT)/sluice: LIBS := $(if $(filter build,$(BUILD)),$(filter-out -Wl$(comma)-rpath%,$(LIBS)),$(LIBS)) $(ORIGIN_RPATH)
$(OUT)/sluice: $(call obj,src/main.c) $(ARCHIVES)
	$(link)

# The library for others: one object in which every name but those of libsluice.sym is local, so that ours never
# meet theirs. Unpacked static libraries become part of it.
STATIC_DEPS := $(wildcard $(CURDIR)/build/deps/lib/*.a)
$(OUT)/libsluice.a: $(LIB_OBJS) $(TABLE_OBJS)
	@$(if $(Q),echo "  LIB  $(patsubst $(BUILD)/%,%,$@)")
	$(Q)$(CC) -nostdlib -r $(if $(filter release,$(VARIANT)),-O2 $(LTO) $(LTO_LINKER) $(if $(filter gcc,$(COMPILER)),-flinker-output=nolto-rel)) \
	    $^ $(STATIC_DEPS) -o $(OUT)/libsluice.o
	$(Q)objcopy $(if $(wildcard libsluice.sym),--keep-global-symbols=libsluice.sym,--localize-hidden) $(OUT)/libsluice.o
	$(Q)rm -f $@ && ar rcs $@ $(OUT)/libsluice.o

# ---- targets ---------------------------------------------------------------------------------

build: $(OUT)/sluice ## build build/sluice (VARIANT=debug, SAN=asan: build/VARIANT/sluice; CC=clang)
ifeq ($(VARIANT),release)
build: $(BUILD)/sluice
endif

# Compared and not dated: the other compiler's program may be the newer one.
$(BUILD)/sluice: $(OUT)/sluice FORCE
	$(Q)cmp -s $< $@ || { cp -f $< $@.$$$$ && mv -f $@.$$$$ $@; }

lib: $(OUT)/libsluice.a ## build the static library

check-build: $(CHOSEN_PROGRAMS) ## build the unit tests without running them

check: check-build ## unit tests, debug (T=rt, T=rt/chan, T=lease; SAN=asan|tsan)
	$(Q)tools/run-tests --out $(OUT) $(CHOSEN)

tests-programs: $(addprefix $(OUT)/,$(SYSTEM_DIRS)) ## build the programs of tests/ (sim, chaos)

fuzz-programs: $(addprefix $(OUT)/fuzz/,$(FUZZ_CHOSEN)) # for tools/fuzz
	@echo "fuzz: $(FUZZ_CHOSEN)"

bench-programs: $(BENCH_PROGRAMS) ## build the programs of bench/

examples: $(EXAMPLES) $(OUT)/sluice ## build and run the examples
	$(Q)tools/run-examples --out $(OUT) $(patsubst %.c,%,$(EXAMPLE_C)) $(wildcard examples/ingest/*.yaml) examples/exec/sluice.yaml

test: ## install what is missing, then run everything (SAN=asan|tsan: the unit tests of that build)
	$(Q)tools/setup test
	$(Q)tools/test-all $(SAN)

run: ## install what is missing, build, and put real jobs through an engine (ONCE=1 leaves after)
	$(Q)tools/setup build
	$(Q)env -u MAKEFLAGS -u MAKELEVEL $(MAKE) -j$$(nproc) build
	$(Q)ONCE=$(ONCE) tools/demo.sh

bench: ## measure, beside the rivals (T=rt for one part)
	$(Q)$(MAKE) VARIANT=release build bench-programs
	$(Q)OUT=$(OUT) bench/run $(T)

chaos: ## kill the engine again and again while it works (ROUNDS=1000; REDIS=server|cluster or INGEST=sqlite|postgresql|brokers, SECONDS=60)
	$(Q)$(MAKE) VARIANT=release build tests-programs
	$(Q)OUT=$(OUT) $(if $(INGEST),tests/chaos/ingest $(INGEST) $(SECONDS),$(if $(REDIS),tests/chaos/redis $(REDIS) $(SECONDS),tests/chaos/run $(ROUNDS)))

SIM_WORLD := $(or $(STORE),memory)
sim: $(OUT)/tests/sim ## the engine in the simulator (STORE=memory|redis|redis-herd|redis-day SEED=n for one run, otherwise many)
	$(Q)$(if $(SEED)$(STORE),$(OUT)/tests/sim $(SIM_WORLD) $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200)),$(OUT)/tests/sim --seeds 200)
	$(Q)$(if $(SEED)$(STORE),,$(OUT)/tests/sim redis --seeds 100 && $(OUT)/tests/sim redis-herd --seed 1)

sim-day: $(OUT)/tests/sim ## a simulated day on a simulated Redis (SEED=n)
	$(Q)$(OUT)/tests/sim redis-day --seed $(or $(SEED),1)

images: $(filter $(OUT)/tests/images,$(addprefix $(OUT)/,$(SYSTEM_DIRS))) ## pictures beside libvips' command line, and hostile ones (T=FOLDER: those in it too)
	$(Q)IMAGES=$(OUT)/tests/images tests/images/run $(T)

image-corners: $(filter $(OUT)/tests/images,$(addprefix $(OUT)/,$(SYSTEM_DIRS))) ## the corners of pictures: profiles, metadata, pages, cost, damage (T=GROUP, LONG=1)
	$(Q)IMAGES=$(OUT)/tests/images tests/images/corners $(T)

fuzz: ## fuzz a parser (T=json SECONDS=10)
	$(Q)tools/fuzz --build $(BUILD) --seconds $(or $(SECONDS),10) $(T)

golden: build ## show how help, man pages and OpenAPI differ from tests/golden (ACCEPT=1 takes them over)
	$(Q)tests/golden/run $(if $(ACCEPT),--accept)

drill: ## add one of everything to a copy of the tree and see that nothing else must change
	$(Q)tools/drill

objects: $(ARCHIVES) $(call obj,src/main.c) # for the lints that look into them

lint: ## the checks that fail, then the ones that only show (T=layers for one)
	$(Q)tools/lint/run $(T)

fmt: ## format all C sources
	$(Q)git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

docs: ## make the reference tables of docs/reference from the .def files
	$(Q)tools/gen-docs

man: build ## make the man pages from the commands' own tables
	$(Q)tools/gen-man $(BUILD)/sluice $(BUILD)/man

PREFIX ?= /usr/local
install: build lib man ## install binary, library, headers, man pages (PREFIX= DESTDIR=)
	$(Q)tools/install --build $(BUILD) --lib $(OUT)/libsluice.a --libs '$(FEATURE_PACKAGES) $(FEATURE_PLAIN)' \
	    --prefix '$(PREFIX)' --destdir '$(DESTDIR)'

hooks: ## install the pre-push hook (lints and unit tests before each push)
	$(Q)install -m 755 tools/hooks/pre-push "$$(git rev-parse --git-path hooks)/pre-push"

new-handler: ## start a handler (NAME=foo)
	$(Q)tools/new-handler $(NAME)

dist: ## a tar file of the committed tree
	$(Q)tools/dist $(BUILD)

compile_commands.json: FORCE ## for editors and clang-tidy
	$(Q)tools/compile-commands '$(COMPILE)' $(ALL_C) >$@

clean: ## remove everything that was built (build/deps stays)
	$(Q)find $(BUILD) -mindepth 1 -maxdepth 1 -not -name deps -exec rm -rf {} + 2>/dev/null || true

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z_.-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

info: ## what the build found
	@echo "compiler     $(CC) ($$($(CC) --version | head -1))"
	@echo "features     $(FEATURES)"
	@echo "missing      $(or $(FEATURES_MISSING),none)"
	@echo "LTO          $(LTO_NOTE)"
	@echo "folders      $(FOLDERS)"

.PHONY: build lib check-build check tests-programs fuzz-programs bench-programs examples test run bench chaos sim sim-day images image-corners fuzz \
    golden drill lint objects hooks fmt docs man install new-handler dist clean help info FORCE

-include $(wildcard $(patsubst %.o,%.d,$(LIB_OBJS) $(TABLE_OBJS) $(call obj,$(TEST_C) $(FUZZ_C) src/main.c \
    $(EXAMPLE_C) $(BENCH_C) $(wildcard bench/lib/*.c tests/*/*.c))))
