# Flags every first-party target shares, and the two helpers that declare one.
find_package(Threads REQUIRED)

add_library(dejavu_flags INTERFACE)
target_include_directories(dejavu_flags INTERFACE ${PROJECT_SOURCE_DIR})
# Args structs grow members with defaults: leaving the last ones out is how they are meant.
target_compile_options(dejavu_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wno-sign-conversion;-Werror;-Wno-missing-field-initializers;-fno-math-errno>")
# One addition order everywhere: the compiler must not fuse or reorder float arithmetic.
target_compile_options(dejavu_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
target_link_libraries(dejavu_flags INTERFACE Threads::Threads)
if(DEJAVU_SANITIZE)
  target_compile_options(dejavu_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${DEJAVU_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>")
  # GCC 12: a false alarm in an instrumented boost::optional; fences inside Asio, which it does not
  # follow
  target_compile_options(dejavu_flags INTERFACE
    "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized;-Wno-tsan>")
  target_link_options(dejavu_flags INTERFACE -fsanitize=${DEJAVU_SANITIZE})
endif()

# dejavu_library(NAME SOURCES file... [DEPENDS target...]): one static library a folder.
function(dejavu_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC dejavu_flags ${ARG_DEPENDS})
endfunction()

# dejavu_test(NAME SOURCES file... [DEPENDS target...]): one Catch2 binary a room; ctest sees each case.
function(dejavu_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE dejavu_flags ${ARG_DEPENDS} Catch2::Catch2WithMain)
  target_compile_definitions(${name} PRIVATE DEJAVU_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  catch_discover_tests(${name} TEST_PREFIX "${name}: " PROPERTIES TIMEOUT 600 SKIP_REGULAR_EXPRESSION "SKIPPED:")
endfunction()
