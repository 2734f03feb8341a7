//! Local edge router.
