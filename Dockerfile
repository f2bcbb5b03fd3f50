# Both images of Wharfinger, from files that are already built: `cargo xtask images` puts them together in target/image,
# which is the context.
#
#   docker build --file Dockerfile --target operator --tag wharfinger/operator target/image
#
# Nothing but the program is in an image: its shared libraries, the certificate authorities that the world trusts, and the
# names of user 65532. There is no shell, and no /tmp: programs that need one get an emptyDir.

# MALLOC_MMAP_THRESHOLD_: hashing a password takes 19 MiB for a moment. Left alone, the C library raises its threshold after
# the first time, keeps such a block in the arena of each thread that ever hashed, and hundreds of MiB stay in use.

FROM scratch AS operator
COPY operator/ /
ENV MALLOC_MMAP_THRESHOLD_=1048576
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/wharfinger-operator"]
CMD ["run"]

FROM scratch AS registry
COPY registry/ /
ENV MALLOC_MMAP_THRESHOLD_=1048576
USER 65532:65532
ENTRYPOINT ["/wharfinger-registry"]
