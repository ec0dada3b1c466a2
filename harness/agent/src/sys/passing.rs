//! Fds sent from process to process.

use libc::c_int;

use super::{Result, check, check_size};

/// A connected pair of close-on-exec UNIX sockets that keep messages apart.
pub(crate) fn socket_pair() -> Result<(c_int, c_int)> {
    let mut pair = [0; 2];
    // SAFETY: `pair` is a valid place for two fds.
    check(unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, pair.as_mut_ptr())
    })?;
    Ok((pair[0], pair[1]))
}

/// Room for a control message with one fd, aligned as cmsg(3) wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Calls `then` with the header of a one-byte message that carries `control`.
fn with_message<T>(control: &mut Control, length: usize, then: impl FnOnce(&mut libc::msghdr) -> T) -> T {
    let mut byte = [0_u8];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all-zero is a valid msghdr (some C libraries pad it, so it cannot be written out).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = length as _;
    then(&mut message)
}

/// Sends an fd over a UNIX socket, as unix(7) describes `SCM_RIGHTS`.
pub(crate) fn send_fd(socket: c_int, fd: c_int) -> Result<()> {
    let mut control = Control([0; 64]);
    // SAFETY: a pure computation.
    let (space, length) = unsafe { (libc::CMSG_SPACE(4), libc::CMSG_LEN(4)) };
    with_message(&mut control, space as usize, |message| {
        // SAFETY: the message and all that it points to outlive the call; `control` has room for one fd.
        check_size(unsafe {
            let header = &mut *libc::CMSG_FIRSTHDR(message);
            header.cmsg_level = libc::SOL_SOCKET;
            header.cmsg_type = libc::SCM_RIGHTS;
            header.cmsg_len = length as _;
            libc::CMSG_DATA(header).cast::<c_int>().write_unaligned(fd);
            libc::sendmsg(socket, message, libc::MSG_NOSIGNAL)
        })
        .map(drop)
    })
}

/// Receives an fd over a UNIX socket; `ENOMSG` when the other end went away without sending one.
pub(crate) fn receive_fd(socket: c_int) -> Result<c_int> {
    let mut control = Control([0; 64]);
    let room = control.0.len();
    with_message(&mut control, room, |message| {
        // SAFETY: the message and all that it points to outlive the call; the kernel's control message, if there is one,
        // lies within `control`.
        unsafe {
            check_size(libc::recvmsg(socket, message, 0))?;
            let header = libc::CMSG_FIRSTHDR(message);
            if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
                return Err(libc::ENOMSG);
            }
            Ok(libc::CMSG_DATA(header).cast::<c_int>().read_unaligned())
        }
    })
}
