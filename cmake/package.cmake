# What is installed, and the Debian package of it: cpack -G DEB --config build/CPackConfig.cmake
if(NOT EXISTS ${PROJECT_SOURCE_DIR}/deploy)
  return()  # an image build comes without
endif()
include(GNUInstallDirs)

set(documents ${CMAKE_BINARY_DIR}/package)
file(MAKE_DIRECTORY ${documents})
add_custom_command(
  OUTPUT ${documents}/dejavu.1.gz ${documents}/dejavu.bash
  COMMAND dejavu --help-man | gzip -9n > ${documents}/dejavu.1.gz
  COMMAND dejavu --help-completion > ${documents}/dejavu.bash
  DEPENDS dejavu VERBATIM)
add_custom_command(
  OUTPUT ${documents}/changelog.gz
  COMMAND gzip -9nc ${PROJECT_SOURCE_DIR}/deploy/debian/changelog > ${documents}/changelog.gz
  DEPENDS deploy/debian/changelog VERBATIM)
add_custom_target(dejavu_documents ALL
  DEPENDS ${documents}/dejavu.1.gz ${documents}/dejavu.bash ${documents}/changelog.gz)

# dejavu@a.service reads /etc/dejavu/a.toml: several daemons on one machine.
set(unit ${PROJECT_SOURCE_DIR}/deploy/systemd/dejavu.service)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${unit})
file(READ ${unit} template)
string(REPLACE "/etc/dejavu/dejavu.toml" "/etc/dejavu/%i.toml" template "${template}")
file(WRITE ${documents}/dejavu@.service "${template}")

install(TARGETS dejavu RUNTIME)
install(DIRECTORY models/demo DESTINATION share/dejavu/models)
install(FILES deploy/systemd/dejavu.service ${documents}/dejavu@.service DESTINATION lib/systemd/system)
install(FILES deploy/systemd/dejavu.toml DESTINATION /etc/dejavu)
install(FILES deploy/nginx/dejavu.conf DESTINATION share/doc/dejavu/examples RENAME nginx.conf)
install(FILES ${documents}/dejavu.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${documents}/dejavu.bash DESTINATION share/bash-completion/completions RENAME dejavu)
install(FILES deploy/debian/copyright ${documents}/changelog.gz DESTINATION share/doc/dejavu)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/package)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGE_CONTACT "The dejavu developers <dejavu-developers@users.noreply.github.com>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "LLM serving daemon with contextual sparsity")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Serves decoder-only language models over HTTP (OpenAI's API) and gRPC,
reading for each token only the neurons and heads that it uses.")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)  # for models of the hub
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${PROJECT_SOURCE_DIR}/deploy/debian/conffiles ${PROJECT_SOURCE_DIR}/deploy/debian/postinst
  ${PROJECT_SOURCE_DIR}/deploy/debian/prerm ${PROJECT_SOURCE_DIR}/deploy/debian/postrm)
include(CPack)
